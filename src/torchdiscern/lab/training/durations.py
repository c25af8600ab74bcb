"""Times for people."""


def duration(seconds: float) -> str:
    """Seconds in words: two units at most."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} minutes"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} hours {minutes} minutes" if hours < 48 else f"{hours / 24:.1f} days"
