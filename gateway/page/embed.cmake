# Writes the files FILES (names in the folder FROM, separated by commas) as one C header OUT: page_files[] and PAGE_VERSION, a hash over all of them.
# @VERSION@ in HTML becomes that hash, so that scripts and styles can be cached for good.
cmake_policy(VERSION 3.25)
string(REPLACE "," ";" FILES "${FILES}")
set(hashes "")
foreach(name ${FILES})
  file(SHA256 ${FROM}/${name} hash)
  string(APPEND hashes "${hash}")
endforeach()
string(SHA256 VERSION "${hashes}")
string(SUBSTRING ${VERSION} 0 16 VERSION)

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(count 0)
set(rows "")
set(arrays "")
foreach(name ${FILES})
  string(REGEX REPLACE ".*\\." "" ext ${name})
  set(html false)
  set(source ${FROM}/${name})
  if(ext STREQUAL "html")
    set(html true)
    configure_file(${source} ${OUT}.${name} @ONLY)
    set(source ${OUT}.${name})
  endif()
  file(READ ${source} hex HEX)
  file(SHA256 ${source} hash)
  string(SUBSTRING ${hash} 0 16 tag)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(LENGTH "${hex}" digits)
  math(EXPR length "${digits} / 2")
  string(APPEND arrays "static const unsigned char page_${count}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", \"${type_${ext}}\", \"\\\"${tag}\\\"\", page_${count}, ${length}, ${html}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUT} "#define PAGE_VERSION \"${VERSION}\"\n${arrays}
static const struct page_file {
    const char *name, *type, *tag;
    const unsigned char *bytes;
    size_t n;
    bool html;
} page_files[] = {\n${rows}};\n")
