"""Stand-in for Application Insights: takes what an exporter sends, keeps it, shows it."""
