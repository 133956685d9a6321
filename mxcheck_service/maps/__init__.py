"""Map settings: from in-line lists, files and URLs to the maps that checks look at."""
