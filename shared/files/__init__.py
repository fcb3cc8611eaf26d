"""Files: accepting them, and what is known of them."""
