"""The entry for WSGI servers: `gunicorn wsgi:app`, configured by environment only."""

from crowd.app import create_app

app = create_app()
