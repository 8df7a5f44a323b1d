"""What a user asks of a sweep, in the user's words."""
