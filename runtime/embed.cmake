# Writes the file IN as a C header OUT: static const unsigned char NAME[] with a NUL after it, and NAME_len.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(LENGTH "${hex}" digits)
math(EXPR length "${digits} / 2")
file(WRITE ${OUT} "static const unsigned char ${NAME}[] = {${bytes}0};\nenum { ${NAME}_len = ${length} };\n")
