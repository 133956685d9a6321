"""The three-layer cache: backends that store text, and the typed layers over them."""
