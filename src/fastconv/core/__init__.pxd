# Makes a package of the declarations that _core.pyx cimports; nothing is imported from here at run time.
