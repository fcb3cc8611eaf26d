"""What Dropbell runs on in Azure, as Bicep files, and checks of them that need no Azure (``infra.check``)."""
