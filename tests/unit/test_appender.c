/*
 * Appending in large pieces: the bytes arrive, past the page cache or not.
 * LINK: services/eventhub-publisher/appender.c
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "services/eventhub-publisher/appender.h"

#define TMPFS	   0x01021994
#define PAGE_BYTES 4096

struct world {
	char path[64];
	int fd; /* a second one, to look with */
	struct appender a;
	struct buf expected;
	unsigned seed;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	snprintf(w->path, sizeof(w->path), "/tmp/weft-appender-XXXXXX");
	w->fd = mkstemp(w->path);
	assert_true(w->fd >= 0);
	appender_init(&w->a, 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	appender_close(&w->a);
	close(w->fd);
	unlink(w->path);
	buf_free(&w->expected);
	free(w);
	return 0;
}

static void open_at_end(struct world *w)
{
	int fd = open(w->path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(lseek(fd, 0, SEEK_END) >= 0);
	appender_open(&w->a, fd);
}

/* Bytes of which no two blocks are alike. */
static void put(struct world *w, size_t bytes)
{
	char *data = xmalloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++) {
		w->seed = w->seed * 1103515245u + 12345u;
		data[i] = (char)(w->seed >> 16);
	}
	buf_append(&w->expected, data, bytes);
	assert_int_equal(appender_put(&w->a, data, bytes), 0);
	free(data);
}

static void assert_file(struct world *w)
{
	size_t bytes = w->expected.used;
	char *data = xmalloc(bytes + 1);

	assert_int_equal(appender_flush(&w->a), 0);
	assert_int_equal(w->a.gathered, 0);
	assert_int_equal(w->a.written, bytes);
	assert_int_equal(pread(w->fd, data, bytes + 1, 0), (ssize_t)bytes);
	assert_memory_equal(data, w->expected.data, bytes);
	free(data);
}

static void test_all_sizes_arrive(void **state)
{
	static const size_t sizes[] = {1,     4095,    4096,   4097,  131071,
				       0,     200000,  524288, 77,    524287,
				       65536, 3000001, 139264, 12288, 600};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (w->a.fd < 0)
			open_at_end(w);
		put(w, sizes[i]);
		if (i % 2)
			assert_file(w);
		if (i % 4 == 3)
			appender_close(&w->a);
	}
	assert_file(w);
}

static void test_lines_are_gathered(void **state)
{
	struct world *w = *state;

	open_at_end(w);
	for (int i = 0; i < 4000; i++)
		put(w, 100);
	assert_int_equal(w->a.written, 0);
	assert_int_equal(w->a.gathered, 400000);
	for (int i = 0; i < 4000; i++)
		put(w, 100);
	assert_true(w->a.written > 0);
	assert_file(w);
}

/* How many pages of the file's first `bytes` the page cache has. */
static size_t cached_pages(struct world *w, size_t bytes)
{
	size_t pages = bytes / PAGE_BYTES, found = 0;
	unsigned char *is = xcalloc(pages, 1);
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, w->fd, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, bytes, is), 0);
	for (size_t i = 0; i < pages; i++)
		found += is[i] & 1;
	munmap(map, bytes);
	free(is);
	return found;
}

static void test_large_pieces_pass_the_cache(void **state)
{
	struct world *w = *state;
	struct statfs fs;

	assert_int_equal(fstatfs(w->fd, &fs), 0);
	open_at_end(w);
	put(w, 1000);
	assert_int_equal(appender_flush(&w->a), 0);
	put(w, 2 << 20);
	assert_int_equal(appender_flush(&w->a), 0);
	if (fs.f_type != TMPFS && w->a.direct)
		assert_true(cached_pages(w, 2 << 20) <= 16);
	assert_file(w);
}

/* Its offsets fit no block, as if the disk wanted larger ones. */
static void test_a_refusal_is_got_over(void **state)
{
	struct world *w = *state;

	open_at_end(w);
	put(w, 100);
	assert_int_equal(appender_flush(&w->a), 0);
	w->a.written = 0;
	put(w, 700000);
	assert_int_equal(appender_flush(&w->a), 0);
	w->a.written += 100;
	assert_file(w);
}

static void test_a_full_disk_is_told(void **state)
{
	struct world *w = *state;
	char *data = xcalloc(1, 1 << 20);

	appender_open(&w->a, open("/dev/full", O_WRONLY | O_CLOEXEC));
	assert_int_equal(appender_put(&w->a, data, 1 << 20), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(appender_flush(&w->a), -1);
	assert_int_equal(errno, ENOSPC);
	free(data);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_all_sizes_arrive),
	    TEST(test_lines_are_gathered),
	    TEST(test_large_pieces_pass_the_cache),
	    TEST(test_a_refusal_is_got_over),
	    TEST(test_a_full_disk_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
