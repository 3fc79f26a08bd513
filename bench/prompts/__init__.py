"""What a request asks: token ids of exact length, or text cut to length."""
