"""What may staff see and change?"""
