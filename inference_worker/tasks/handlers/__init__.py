"""One module per kind of job: ``handle(request, context) -> result``."""
