"""Who pays, for what, how much?"""
