# Writes the commit that is being built into HEADER, at every build: a manifest that names another
# commit than the one it measured would be worse than none. "unknown" outside a checkout.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
# Touches the file only when it changes.
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define LASTACK_COMMIT \"${commit}\"\n")
