#include "proto/replay.h"

#include <errno.h>
#include <string.h>

/* Bytes behind the header, kind, number: host order, one machine. */
struct header {
	uint32_t bytes;
	uint32_t kind;
	uint64_t number;
};

_Static_assert(sizeof(struct header) == REPLAY_HEADER_BYTES,
	       "a header is as specified");

void replay_begin(struct buf *out, enum replay_kind kind, uint64_t number)
{
	const struct header h = {.kind = kind, .number = number};

	buf_append(out, &h, sizeof(h));
}

void replay_text(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text) + 1);
}

void replay_data(struct buf *out, const char *data, size_t bytes)
{
	buf_append(out, data, bytes);
}

void replay_end(struct buf *out, size_t at)
{
	uint32_t bytes = (uint32_t)(out->used - at - sizeof(struct header));

	memcpy(out->data + at, &bytes, sizeof(bytes));
}

int replay_next(const char *data, size_t bytes, struct replay_frame *frame,
		size_t *used, struct err *err)
{
	struct header h;

	if (bytes < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (h.kind < REPLAY_RAW || h.kind >= REPLAY_KINDS ||
	    h.bytes > REPLAY_MAX_BYTES)
		return err_set(err, EPROTO,
			       "a frame of kind %u with %u bytes: the two "
			       "programs are of different releases",
			       h.kind, h.bytes);
	if (bytes - sizeof(h) < h.bytes)
		return 0;
	*frame = (struct replay_frame){.kind = (enum replay_kind)h.kind,
				       .number = h.number,
				       .data = data + sizeof(h),
				       .bytes = h.bytes};
	*used = sizeof(h) + h.bytes;
	return 1;
}

const char *replay_take(struct replay_frame *frame)
{
	const char *text = frame->data;
	const char *end =
	    frame->bytes ? memchr(frame->data, '\0', frame->bytes) : NULL;

	if (!end)
		return NULL;
	frame->bytes -= (size_t)(end + 1 - frame->data);
	frame->data = end + 1;
	return text;
}
