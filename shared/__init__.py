"""The Dropbell application: all that runs in Azure beside function_app.py."""
