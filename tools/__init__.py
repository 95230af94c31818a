"""For maintainers: lessons become notebooks (`tools.build`); `tools.check` checks everything."""
