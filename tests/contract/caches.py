"""How these tests open a cache."""

from mxcheck_service.cache import servers
from mxcheck_service.cache.redis import RedisCache


def connect(url: str, *, timeout: float, max_connections: int, batching: bool = True) -> RedisCache:
    """Return a cache on the servers that the URL names, as the application builds it."""
    return RedisCache(servers.connect(url, timeout=timeout, max_connections=max_connections), batching=batching)
