"""The bell: who wants to know, what they are told, and how a delivery runs until it is settled."""
