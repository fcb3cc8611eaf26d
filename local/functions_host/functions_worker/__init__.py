"""The worker process: Microsoft's ``azure-functions-runtime`` at the other end of a socket.

This package is loaded into a process that runs somebody's function app. It therefore imports nothing but the
standard library and Microsoft's packages, and it is imported under its own short name, so that no module
name of the app is taken.
"""
