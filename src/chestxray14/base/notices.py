"""What every picture, page and answer of this software says of itself."""

NOTICE = "Research software, not for diagnosis."
