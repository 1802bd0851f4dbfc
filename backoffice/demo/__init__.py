"""The demo: a house with ninety days of history, made through the services, so that its books are true."""
