"""Exports in Excel's .xlsx: a zip archive of XML, whose rows are read one at a time.

No library that is kept well reads a sheet of 1,048,576 rows in bounded memory and tells how a number is shown. Measured
with 10 cells a row, 6 of them different texts, on one core, for 100,000 rows and for 1,048,576: python-calamine 0.9
holds all of it (120 and 1,162 MB; 9 µs of CPU a row) and gives a number as a float without its format, so that the id
``00002`` is 2.0; openpyxl 3.1.5 (read_only) holds every text (137 and 1,096 MB; 144 and 155 µs). This package takes 36
and 80 MB, and 98 and 84 µs with all that an export does beside. So the rows are read here, and openpyxl says what a
number's format and date mean.
"""
