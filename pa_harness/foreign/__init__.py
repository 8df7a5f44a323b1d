"""What others made (files, names, texts): read strictly, named and shown harmlessly.

On the ground floor; imports nothing of the house.
"""
