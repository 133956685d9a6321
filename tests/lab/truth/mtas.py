SERVERS: dict = {}
