"""How much the server holds, measured from outside."""
