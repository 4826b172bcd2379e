"""How do people reach us, live or later?"""
