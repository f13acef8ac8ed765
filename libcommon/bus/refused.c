#include "bus/refused.h"

#include <string.h>

int refused_hear(struct refused *r, zmq_msg_t *msg, int64_t now_mono_us,
		 struct err *err)
{
	const uint8_t *data = zmq_msg_data(msg);
	size_t bytes = zmq_msg_size(msg);

	if (!refusal_is(data, bytes))
		return 0;
	if (refusal_decode(data, bytes, &r->streams, err) != 0)
		return -1;
	r->heard_mono_us = now_mono_us;
	return 1;
}

void refused_expire(struct refused *r, int64_t now_mono_us, int64_t silence_us)
{
	if (r->streams.count && now_mono_us - r->heard_mono_us > silence_us)
		r->streams = (struct refusal){0};
}

void refused_join(const struct refused *r, struct refusal *all)
{
	for (uint16_t i = 0; i < r->streams.count; i++)
		refusal_add(all, r->streams.names[i],
			    strlen(r->streams.names[i]));
}
