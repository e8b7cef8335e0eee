"""Real servers for the tests: Elasticsearch and the Docker engine, pinned, cached, on loopback."""
