"""How do we hear, think and speak?"""
