# SPDX-License-Identifier: Apache-2.0
# cmake -DFROM=FILE -DTO=FILE -DNAME=kName -P embed_text.cmake: a text file as a std::string_view for #include. String literals of
# more than 64 KiB are beyond what compilers must take, so it comes in pieces; adjacent literals are one.
file(READ ${FROM} text)
string(FIND "${text}" ")~text~" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "${FROM} holds the delimiter )~text~")
endif()
# Lines of the file may end a piece; semicolons and brackets must not be taken for CMake lists.
string(LENGTH "${text}" size)
set(out "")
set(at 0)
while(at LESS size)
  string(SUBSTRING "${text}" ${at} 8000 piece)
  string(APPEND out "R\"~text~(${piece})~text~\"\n")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE ${TO} "// Made from ${FROM}.\ninline constexpr std::string_view ${NAME} =\n${out};\n")
