#include "base/io.h"

#include <errno.h>
#include <unistd.h>

size_t io_write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;
	size_t left = bytes;

	while (left) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += n;
		left -= (size_t)n;
	}
	return bytes - left;
}
