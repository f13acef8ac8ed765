/* A seeded, reproducible stream of numbers: xoshiro256** by Blackman, Vigna. */
#ifndef WEFT_SERVICES_GENERATOR_RANDOM_H
#define WEFT_SERVICES_GENERATOR_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t s[4];
};

/* The same seed gives the same stream on every machine. */
static inline void random_seed(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		r->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t random_next(struct random *r)
{
	uint64_t *s = r->s;
	uint64_t x = s[1] * 5;
	uint64_t result = ((x << 7) | (x >> 57)) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* Uniform in [0, bound), bound > 0; the bias of 2^-32 does not matter here. */
static inline uint32_t random_below(struct random *r, uint32_t bound)
{
	return (uint32_t)(((random_next(r) >> 32) * bound) >> 32);
}

/* Uniform in [least, most]; most - least < 2^32 - 1. */
static inline uint32_t random_between(struct random *r, uint32_t least,
				      uint32_t most)
{
	return least + random_below(r, most - least + 1);
}

#endif
