/*
 * The protocol of proto/bus.md for spin: one source with N batches in its log,
 * R relays, two sinks, and FAULTS faults of any kind at any moment.
 *
 * One process chooses among all that may happen next; what happens is atomic,
 * as a turn of a loop is. It ends when nothing can happen any more, and then
 * every batch must be freed. What is checked on the way:
 *   - a batch is freed only when it is durable at every sink;
 *   - a sink accepts a lane in order, and no batch a second time unless it is
 *     flagged as a replay;
 *   - there is no cycle (pan -l): resends end when faults do.
 *
 * A state that says nothing new to somebody who is heard changes nothing, so
 * repeats are left out where they would be idle. A link that breaks loses what
 * is in it; its sender goes on into nothing until it is told.
 *
 * M_… leave out one rule each, and spin finds what it was for (see run).
 */
#ifndef N
#define N 2
#endif
#ifndef R
#define R 1
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
/* Kinds of faults; KINDS is a sum of them. */
#define SOURCE_DIES  1
#define RELAY_DIES   2
#define SINK_DIES    4
#define LOG_LOST     8 /* of a sink, which then has another */
#define RAW_BREAKS   16
#define LAKE_BREAKS  32
#define RELAY_SILENT 64 /* to the source, though nothing is lost */
#define SINK_SILENT  128
#ifndef KINDS
#define KINDS 255
#endif
#define K    2 /* sinks */
#define W    2 /* batches in flight on a lane */
#define ROOM 2 /* of a link */

#define UP     0
#define BROKEN 1 /* and the sender does not know it yet */
#define DOWN   2

/* ---- the source ---- */
byte epoch = 1;
byte freed, next, unsent, replay_before;
byte newest; /* epoch that any state named */
bit need_epoch;
bit acked[N];
byte batch[R * (N + 1)]; /* by lane and sequence */
byte first[R], send[R], end_[R];
bit known[R], heard[R], lost[R], based[R];
byte inc_of[R], gen_of[R], base[R];

/* ---- links of batches: epoch, sequence, batch, flagged ---- */
chan raw[R] = [ROOM] of { byte, byte, byte, bit };
byte raw_link[R];
chan lake[R * K] = [ROOM] of { byte, byte, byte, bit };
byte lake_link[R * K];

/* ---- relays ---- */
byte r_inc[R], r_gen[R];
bit holds[R];
byte h_epoch[R], h_seq[R], h_batch[R];
bit h_flag[R];
byte waits[R]; /* bit k: sink k has not taken what is held */
bit v_known[R * K], v_heard[R * K];
byte v_inc[R * K], v_log[R * K], v_epoch[R * K], v_through[R * K];

/* ---- sinks: what was accepted, and what of it is durable ---- */
byte s_inc[K], s_log[K];
byte s_epoch[K], d_epoch[K];
byte s_next[R * K], d_next[R * K];
bit got[N * K], durable[N * K];
bit ever[N * K];  /* was durable once: a lost log is nobody's promise */
byte last[R * K]; /* batch + 1 that was accepted last in the lane */

/*
 * ---- states of relays on their way ----
 * incarnation, generation, complete, history, two lanes of (epoch, through).
 * Those of sinks are taken from them directly, at any later time.
 */
chan r_state[R] = [1] of { byte, byte, bit, byte, byte, byte, byte, byte };
/* What was said last, to leave out repeats. */
byte r_said[R * 8];

byte faults = FAULTS;

/* Scratch, zero between steps. */
byte i, k, r, a, b, c, d, e, f, g, h;
bit x, y;

#define LANE(r, q) batch[(r) * (N + 1) + (q)]
#define RK(r, k)   ((r) * K + (k))
#define BK(b, k)   ((b) * K + (k))
#define CLEAR                                                          \
	i = 0; k = 0; r = 0; a = 0; b = 0; c = 0; d = 0; e = 0; f = 0; \
	g = 0; h = 0; x = 0; y = 0

inline begin_epoch()
{
	next = freed;
	replay_before = unsent;
	need_epoch = 0;
	for (i : 0 .. N - 1) { acked[i] = 0 }
	for (i : 0 .. R - 1) {
		first[i] = 1; send[i] = 1; end_[i] = 1;
		based[i] = 0; heard[i] = 0; base[i] = 0;
		for (k : 1 .. N) { LANE(i, k) = 0 }
	}
	assert(epoch < 20)
}

inline free_prefix()
{
	do
#ifdef M_FREE_UNACKED
	:: freed < N && (acked[freed] ||
			 (freed + 1 < N && acked[(freed + 1) % N])) ->
#else
	:: freed < N && acked[freed] ->
#endif
		for (k : 0 .. K - 1) { assert(ever[BK(freed, k)]) }
		freed++
	:: else -> break
	od
}

/* ---- what the source hears of relay r ---- */

/* A lane of ours, through b. */
inline take_ack()
{
#ifdef M_ACK_TOO_FAR
	if
	:: b + 1 < end_[r] -> b++
	:: else
	fi;
#endif
	if
	:: b + 1 < first[r] ->
#ifndef M_LOST_LANE_IGNORED
		need_epoch = 1
#else
		skip
#endif
	:: b + 1 >= first[r] && (end_[r] == 1 || b >= end_[r]) ->
#ifndef M_USED_EPOCH_IGNORED
		need_epoch = 1
#else
		skip
#endif
	:: else ->
		do
		:: first[r] <= b ->
			acked[LANE(r, first[r])] = 1;
			first[r] = first[r] + 1
		:: else -> break
		od;
		if
		:: send[r] < first[r] -> send[r] = first[r]
		:: else
		fi
	fi
}

inline take_lane(ep, thr)
{
	if
	:: ep > newest -> newest = ep
	:: else
	fi;
	if
	:: ep > epoch -> need_epoch = 1
	:: ep == epoch -> y = 1; b = thr; take_ack()
	:: else
	fi
}

/* a inc, c gen, x complete, d history, e f and g h two lanes */
inline source_hears()
{
	i = 0;
	if
	:: known[r] && (lost[r] || c != gen_of[r]
#ifndef M_INCARNATION_IGNORED
			|| a != inc_of[r]
#endif
			) -> i = 1
	:: else
	fi;
#ifdef M_NO_EVIDENCE
	i = 0;
#endif
	known[r] = 1; lost[r] = 0; heard[r] = x; inc_of[r] = a; gen_of[r] = c;
	if
	:: x ->
#ifndef M_HISTORY_IGNORED
		if
		:: based[r] && base[r] != d -> need_epoch = 1
		:: else
		fi;
#endif
		based[r] = 1; base[r] = d
	:: else
	fi;
	y = 0;
	if
	:: e -> take_lane(e, f)
	:: else
	fi;
	if
	:: g -> take_lane(g, h)
	:: else
	fi;
	if
	:: x && !y && first[r] > 1 ->
#ifndef M_LOST_LANE_IGNORED
		need_epoch = 1
#else
		skip
#endif
	:: else
	fi;
	if
	:: i && first[r] < send[r] -> send[r] = first[r]
	:: else
	fi;
	free_prefix()
}

inline source_sends()
{
	if
	:: send[r] == end_[r] ->
		LANE(r, end_[r]) = next;
		end_[r] = end_[r] + 1;
		next++
	:: else
	fi;
	b = LANE(r, send[r]);
	x = b < replay_before;
#ifdef M_REPLAY_DROPPED
	x = 0;
#endif
	if
	:: raw_link[r] == UP -> raw[r] ! epoch, send[r], b, x
	:: else /* into nothing */
	fi;
	send[r] = send[r] + 1;
	if
	:: unsent <= b -> unsent = b + 1
	:: else
	fi
}

/* ---- relays ---- */

inline raise_generation()
{
#ifndef M_GENERATION_KEPT
	r_gen[r] = r_gen[r] + 1
#else
	skip
#endif
}

/* a inc, b log, c epoch, d through */
inline relay_hears()
{
	if
	:: v_known[RK(r, k)] &&
		(!v_heard[RK(r, k)] || v_inc[RK(r, k)] != a) ->
		raise_generation()
	:: else
	fi;
	v_known[RK(r, k)] = 1; v_heard[RK(r, k)] = 1;
	v_inc[RK(r, k)] = a; v_log[RK(r, k)] = b;
	v_epoch[RK(r, k)] = c; v_through[RK(r, k)] = d
}

/* The state of relay r in a (inc), c, x, d, e to h. */
inline relay_state()
{
	a = r_inc[r]; c = r_gen[r];
	x = v_heard[RK(r, 0)] && v_heard[RK(r, 1)];
#ifdef M_HEARD_SINKS_ONLY
	x = v_heard[RK(r, 0)] || v_heard[RK(r, 1)];
#endif
	d = 0; e = 0; f = 0; g = 0; h = 0;
	if
	:: x ->
		d = 1 + v_log[RK(r, 0)] * 4 + v_log[RK(r, 1)];
		e = v_epoch[RK(r, 0)]; f = v_through[RK(r, 0)];
		g = v_epoch[RK(r, 1)]; h = v_through[RK(r, 1)];
#ifdef M_HEARD_SINKS_ONLY
		if
		:: !v_heard[RK(r, 0)] -> e = g; f = h
		:: !v_heard[RK(r, 1)] -> g = e; h = f
		:: else
		fi;
#endif
		if
		:: e == g ->
#ifdef M_MOST_OF_SINKS
			f = (f > h -> f : h);
#else
			f = (f < h -> f : h);
#endif
			g = 0; h = 0
		:: else ->
#ifndef M_MOST_OF_SINKS
			f = 0; h = 0
#else
			skip
#endif
		fi
	:: else
	fi
}

#define SAID(n) r_said[r * 8 + (n)]
#define NEWS                                                                 \
	(a != SAID(0) || c != SAID(1) || x != SAID(2) || d != SAID(3) ||     \
	 e != SAID(4) || f != SAID(5) || g != SAID(6) || h != SAID(7) ||     \
	 (x && !heard[r]))

inline relay_says()
{
	relay_state();
	if
	:: NEWS ->
		SAID(0) = a; SAID(1) = c; SAID(2) = x; SAID(3) = d;
		SAID(4) = e; SAID(5) = f; SAID(6) = g; SAID(7) = h;
		r_state[r] ! a, c, x, d, e, f, g, h
	:: else
	fi
}

#define DROP_HELD(r)                                                   \
	holds[r] = 0; waits[r] = 0; h_epoch[r] = 0; h_seq[r] = 0;      \
	h_batch[r] = 0; h_flag[r] = 0

#define V(r, k)	   RK(r, k)
#define COMPLETE(r) (v_heard[V(r, 0)] && v_heard[V(r, 1)])

/* ---- sinks ---- */

/* a epoch, b sequence, c batch, x flagged, from relay r at sink k */
inline sink_takes()
{
	y = 0;
	if
	:: a > s_epoch[k] && b == 1 ->
		y = 1;
		s_epoch[k] = a;
		for (i : 0 .. R - 1) {
			s_next[RK(i, k)] = 1;
			last[RK(i, k)] = 0
		}
	:: a == s_epoch[k] && b == s_next[RK(r, k)] -> y = 1
#ifdef M_OUT_OF_ORDER
	:: a == s_epoch[k] && b > s_next[RK(r, k)] -> y = 1
	:: a > s_epoch[k] && b > 1 -> y = 1
#endif
#ifdef M_DUPLICATE_ACCEPTED
	:: a == s_epoch[k] && b < s_next[RK(r, k)] -> y = 1
#endif
#ifdef M_STALE_ACCEPTED
	:: a < s_epoch[k] && b == s_next[RK(r, k)] -> y = 1
#endif
	:: else
	fi;
	if
	:: y ->
		assert(x || !got[BK(c, k)]); /* no duplicate */
		assert(b == s_next[RK(r, k)]); /* no gap */
		assert(c + 1 > last[RK(r, k)]); /* in order */
		last[RK(r, k)] = c + 1;
		got[BK(c, k)] = 1;
		s_next[RK(r, k)] = b + 1
	:: else
	fi
}

inline sink_syncs()
{
	d_epoch[k] = s_epoch[k];
	for (i : 0 .. R - 1) { d_next[RK(i, k)] = s_next[RK(i, k)] }
	for (i : 0 .. N - 1) {
		durable[BK(i, k)] = got[BK(i, k)];
		if
		:: got[BK(i, k)] -> ever[BK(i, k)] = 1
		:: else
		fi
	}
}

#define UNSYNCED(k)                                          \
	(s_epoch[k] != d_epoch[k] || s_next[RK(0, k)] !=     \
					 d_next[RK(0, k)] || \
	 s_next[RK(R - 1, k)] != d_next[RK(R - 1, k)])

#ifdef M_ACK_BEFORE_FSYNC
#define THROUGH(r, k) (s_next[RK(r, k)] - 1)
#else
#define THROUGH(r, k) \
	(d_epoch[k] == s_epoch[k] -> d_next[RK(r, k)] - 1 : 0)
#endif
#define LANE_EPOCH(r, k) (s_next[RK(r, k)] > 1 -> s_epoch[k] : 0)
/* Whether the sink says something that the relay has not heard. */
#define S_NEWS(r, k)                            \
	(v_inc[RK(r, k)] != s_inc[k] ||         \
	 v_log[RK(r, k)] != s_log[k] ||         \
	 v_epoch[RK(r, k)] != LANE_EPOCH(r, k) || \
	 v_through[RK(r, k)] != THROUGH(r, k) || !v_heard[RK(r, k)])

/* ---- faults ---- */

inline lose(link)
{
	do
	:: nempty(link) -> link ? a, b, c, x
	:: empty(link) -> break
	od
}

/* What was on its way in a connection that is gone came or did not. */
inline maybe_lose(link)
{
	if
	:: lose(link)
	:: skip
	fi
}

inline source_restarts()
{
#ifndef M_EPOCH_NOT_RAISED
	epoch = epoch + 1;
#endif
	if /* freeing is remembered by checkpoints, now and then */
	:: freed = 0
	:: skip
	fi;
	unsent = N; newest = 0;
	begin_epoch();
	for (r : 0 .. R - 1) {
		known[r] = 0; lost[r] = 0; inc_of[r] = 0; gen_of[r] = 0;
		raw_link[r] = UP;
		maybe_lose(raw[r]);
		do
		:: nempty(r_state[r]) -> r_state[r] ? a, c, x, d, e, f, g, h
		:: empty(r_state[r]) -> break
		od;
		SAID(0) = 0; SAID(1) = 0; SAID(2) = 0; SAID(3) = 0;
		SAID(4) = 0; SAID(5) = 0; SAID(6) = 0; SAID(7) = 0
	}
}

inline relay_restarts()
{
	r_inc[r] = r_inc[r] + 1; r_gen[r] = 0;
	DROP_HELD(r);
	lose(raw[r]);
	if
	:: raw_link[r] == UP -> raw_link[r] = BROKEN
	:: else
	fi;
	for (k : 0 .. K - 1) {
		v_known[RK(r, k)] = 0; v_heard[RK(r, k)] = 0;
		v_inc[RK(r, k)] = 0; v_log[RK(r, k)] = 0;
		v_epoch[RK(r, k)] = 0; v_through[RK(r, k)] = 0;
		lake_link[RK(r, k)] = UP;
		maybe_lose(lake[RK(r, k)])
	}
}

inline sink_restarts()
{
	s_inc[k] = s_inc[k] + 1;
	s_epoch[k] = d_epoch[k];
	for (i : 0 .. N - 1) { got[BK(i, k)] = durable[BK(i, k)] }
	for (r : 0 .. R - 1) {
		s_next[RK(r, k)] = d_next[RK(r, k)];
		last[RK(r, k)] = 0;
		lose(lake[RK(r, k)]);
		if
		:: lake_link[RK(r, k)] == UP -> lake_link[RK(r, k)] = BROKEN
		:: else
		fi
	}
}

inline sink_loses_log()
{
	s_log[k] = s_log[k] + 1;
	d_epoch[k] = 0;
	for (i : 0 .. R - 1) { d_next[RK(i, k)] = 1 }
	for (i : 0 .. N - 1) { durable[BK(i, k)] = 0 }
	sink_restarts()
}

/* A fault that a run leaves out is not even a choice. */
#define FAULT(kind, condition) \
	atomic { (KINDS & kind) && faults > 0 && (condition)
#define END_FAULT	 faults = faults - 1; CLEAR
#define FAULTS_OF_RELAY(r_)                                                    \
	:: FAULT(RELAY_DIES, 1) -> r = r_; relay_restarts(); END_FAULT }      \
	:: FAULT(RAW_BREAKS, raw_link[r_] == UP) -> r = r_;                    \
		lose(raw[r]); raw_link[r] = BROKEN; AT_BREAK(r); END_FAULT }   \
	:: FAULT(RELAY_SILENT, heard[r_]) ->                                   \
		r = r_; lost[r] = 1; heard[r] = 0; END_FAULT }                 \
	FAULTS_OF_PAIR(r_, 0)                                                  \
	FAULTS_OF_PAIR(r_, 1)
#define FAULTS_OF_PAIR(r_, k_)                                                 \
	:: FAULT(LAKE_BREAKS, lake_link[RK(r_, k_)] == UP) -> r = r_; k = k_;  \
		lose(lake[RK(r, k)]); lake_link[RK(r, k)] = BROKEN;            \
		END_FAULT }                                                    \
	:: FAULT(SINK_SILENT, v_heard[RK(r_, k_)]) ->                          \
		v_heard[RK(r_, k_)] = 0; END_FAULT }

/* ---- who may do what, without scratch: for the guards ---- */

#define CAN_SEND(r)                                                  \
	(heard[r] && raw_link[r] != DOWN && !need_epoch &&           \
	 send[r] - first[r] < W && (send[r] < end_[r] || next < N) && \
	 (raw_link[r] != UP || nfull(raw[r])))
#define CAN_PUSH(r, k)                                           \
	(holds[r] && (waits[r] & (1 << (k))) && lake_link[RK(r, k)] != DOWN && \
	 (lake_link[RK(r, k)] != UP || nfull(lake[RK(r, k)])))

inline start()
{
	epoch = 1;
	unsent = N; /* an earlier life may have sent anything */
	for (r : 0 .. R - 1) {
		r_inc[r] = 1;
		for (k : 0 .. K - 1) {
			s_next[RK(r, k)] = 1; d_next[RK(r, k)] = 1
		}
	}
	for (k : 0 .. K - 1) { s_inc[k] = 1 }
	begin_epoch();
#ifndef RESTARTED
	unsent = 0; replay_before = 0;
#endif
}

/* One of each for relay r_ and for its pair with sink k_. */
#define OF_RELAY(r_)                                                           \
	:: d_step { nempty(r_state[r_]) ->                                     \
		r = r_;                                                        \
		r_state[r] ? a, c, x, d, e, f, g, h;                           \
		source_hears(); CLEAR }                                        \
	:: d_step { CAN_SEND(r_) -> r = r_; source_sends(); CLEAR }            \
	:: d_step { raw_link[r_] == BROKEN ->                                  \
		raw_link[r_] = DOWN; NOTED(r_) }                               \
	:: d_step { raw_link[r_] == DOWN ->                                    \
		raw_link[r_] = UP; NOTED_AGAIN(r_) }                           \
	:: d_step { nempty(raw[r_]) && !holds[r_] ->                           \
		raw[r_] ? h_epoch[r_], h_seq[r_], h_batch[r_], h_flag[r_];     \
		holds[r_] = 1; waits[r_] = 3 }                                 \
	:: d_step { nfull(r_state[r_]) && R_NEWS(r_) ->                        \
		r = r_; relay_says(); CLEAR }                                  \
	OF_PAIR(r_, 0)                                                         \
	OF_PAIR(r_, 1)

#define OF_PAIR(r_, k_)                                                        \
	:: d_step { S_NEWS(r_, k_) ->                                          \
		r = r_; k = k_;                                                \
		a = s_inc[k]; b = s_log[k];                                    \
		c = LANE_EPOCH(r, k); d = THROUGH(r, k);                       \
		relay_hears(); CLEAR }                                         \
	:: d_step { CAN_PUSH(r_, k_) ->                                        \
		if                                                             \
		:: lake_link[RK(r_, k_)] == UP ->                              \
			lake[RK(r_, k_)] ! h_epoch[r_], h_seq[r_],             \
				h_batch[r_], h_flag[r_]                        \
		:: else                                                        \
		fi;                                                            \
		waits[r_] = waits[r_] - (1 << k_);                             \
		if                                                             \
		:: !waits[r_] -> DROP_HELD(r_)                                 \
		:: else                                                        \
		fi }                                                           \
	:: d_step { lake_link[RK(r_, k_)] == BROKEN ->                         \
		r = r_; lake_link[RK(r_, k_)] = DOWN;                          \
		v_heard[RK(r_, k_)] = 0; raise_generation(); CLEAR }           \
	:: d_step { lake_link[RK(r_, k_)] == DOWN ->                           \
		r = r_; lake_link[RK(r_, k_)] = UP;                            \
		v_heard[RK(r_, k_)] = 0; raise_generation(); CLEAR }           \
	:: d_step { nempty(lake[RK(r_, k_)]) ->                                \
		r = r_; k = k_;                                                \
		lake[RK(r, k)] ? a, b, c, x; sink_takes(); CLEAR }

#ifdef M_NOTED_BEFORE_THE_DROP
/* Told when it breaks, and not again: see break_raw(). */
#define NOTED(r)       heard[r] = heard[r]
#define NOTED_AGAIN(r) heard[r] = heard[r]
#define AT_BREAK(r)    lost[r] = 1; heard[r] = 0
#else
#define NOTED(r)       lost[r] = 1; heard[r] = 0
#define NOTED_AGAIN(r) lost[r] = 1; heard[r] = 0
#define AT_BREAK(r)    skip
#endif

/* relay_state() against what was said last, as an expression. */
#define ACKS(r)                                                     \
	(v_epoch[V(r, 0)] == v_epoch[V(r, 1)] ->                    \
	     LEAST(v_through[V(r, 0)], v_through[V(r, 1)]) : ALONE(r))
#ifdef M_MOST_OF_SINKS
#define LEAST(p, q) (p > q -> p : q)
#define ALONE(r)    v_through[V(r, 0)]
#define OTHER(r)    v_through[V(r, 1)]
#else
#define LEAST(p, q) (p < q -> p : q)
#define ALONE(r)    0
#define OTHER(r)    0
#endif
#ifdef M_HEARD_SINKS_ONLY
#define R_NEWS(r) (1)
#else
#define R_NEWS(r)                                                            \
	(r_said[r * 8] != r_inc[r] || r_said[r * 8 + 1] != r_gen[r] ||       \
	 r_said[r * 8 + 2] != COMPLETE(r) ||                                 \
	 (COMPLETE(r) &&                                                     \
	  (!heard[r] ||                                                      \
	   r_said[r * 8 + 3] !=                                              \
	       1 + v_log[V(r, 0)] * 4 + v_log[V(r, 1)] ||                    \
	   r_said[r * 8 + 4] != v_epoch[V(r, 0)] ||                          \
	   r_said[r * 8 + 5] != ACKS(r) ||                                   \
	   (v_epoch[V(r, 0)] != v_epoch[V(r, 1)] &&                          \
	    (r_said[r * 8 + 6] != v_epoch[V(r, 1)] ||                        \
	     r_said[r * 8 + 7] != OTHER(r))))))
#endif

init
{
	d_step { start(); CLEAR };
	do
	OF_RELAY(0)
#if R > 1
	OF_RELAY(1)
#endif
	:: d_step { need_epoch ->
		epoch = (epoch > newest -> epoch : newest) + 1;
		begin_epoch(); CLEAR }
	:: d_step { UNSYNCED(0) -> k = 0; sink_syncs(); CLEAR }
	:: d_step { UNSYNCED(1) -> k = 1; sink_syncs(); CLEAR }
#ifdef M_TIMER
	:: d_step { heard[0] && first[0] < send[0] -> send[0] = first[0] }
#endif

	/* Faults; they may also end before all have happened. */
	:: d_step { faults > 0 -> faults = 0 }
	:: FAULT(SOURCE_DIES, 1) -> source_restarts(); END_FAULT }
	:: FAULT(SINK_DIES, 1) -> k = 0; sink_restarts(); END_FAULT }
	:: FAULT(SINK_DIES, 1) -> k = 1; sink_restarts(); END_FAULT }
	:: FAULT(LOG_LOST, 1) -> k = 0; sink_loses_log(); END_FAULT }
	:: FAULT(LOG_LOST, 1) -> k = 1; sink_loses_log(); END_FAULT }
	FAULTS_OF_RELAY(0)
#if R > 1
	FAULTS_OF_RELAY(1)
#endif

	/* Nothing can happen any more. */
	:: timeout -> assert(freed == N); break
	od
}
