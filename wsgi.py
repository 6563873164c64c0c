"""The entry for WSGI servers: `gunicorn wsgi:app`, configured by environment only."""

from crowd.webserver import application

app = application()
