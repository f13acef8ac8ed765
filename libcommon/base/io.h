/* Small things about file descriptors. */
#ifndef WEFT_BASE_IO_H
#define WEFT_BASE_IO_H

#include <stddef.h>

/*
 * Writes all of it to a blocking descriptor, over signals and short writes.
 * Returns how many bytes were written: fewer than asked for when it failed, and
 * then errno says why. Any thread; blocks.
 */
size_t io_write_all(int fd, const void *data, size_t bytes);

#endif
