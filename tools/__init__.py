"""The maintainer's workshop: lessons become notebooks (`tools.build`), and everything is checked (`tools.check`)."""
