"""What became of a campaign: its figures, and the page made from them."""
