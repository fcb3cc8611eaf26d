"""HTTP: streaming under the Functions worker, the conventions, and what each route does."""
