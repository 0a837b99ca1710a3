"""What must hold against hundreds of attempts to break it; all of it slow."""
