"""PostgreSQL with pgvector and Redis from wheels, for the demo and the tests. Production brings its own servers."""
