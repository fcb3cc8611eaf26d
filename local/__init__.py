"""The whole platform on one machine: a stand-in for each Azure service that Dropbell uses."""
