"""What is measured. Every module here is read: a new row is one function with ``@rows()`` in one of them."""
