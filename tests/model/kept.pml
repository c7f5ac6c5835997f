// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold, of the module or of the function's claim: a program has a function, and up to three pages that it pins for it and unpins while the function may still
 * write to them. Its threads pin, unpin, start the function again after it was stopped, and say QUIET when the function
 * is done; then the file is closed. Names and PLANT_* as in claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * WRITE	No page is given back to the kernel while the function may still write to it.
 *		module/unpin.c: end_pin_or_hold(), module/guard.c: flat_guard_unpinned(),
 *		module/guard.c: flat_guard_pinned(), module/guard.c: flat_guard_is_quiet(),
 *		module/quiet.c: flat_hold_quiet_pins(), module/quiet.c: flat_quiet(), module/unpin.c: flat_unpin_all()
 * PINS		Each page is given back once.
 *		module/unpin.c: end_pin_or_hold(), module/hold.c: flat_hold_take(), module/unpin.c: flat_unpin_all()
 *
 * Not here: how a pin is found by its number, which is in dma.pml, and the limit, at which a page may be given back
 * under DMA, or after a fence.
 */
#define PAGES 3

mtype = { none, has_pin, ending, is_held, free };

bool master = true;		/* bus mastering */
bool told[PAGES];		/* the function is programmed with the page's address */
mtype page[PAGES] = none;

bool lock;			/* guard->lock */
byte pins;			/* the guard's count */
bool quiet;			/* guard->quiet */
byte calls;			/* threads that are in calls */

inline give_back(i)
{
	assert(page[i] != free /* PINS */);
	assert(!(master && told[i]) /* WRITE */);
	page[i] = free
}

/* FLATIOMMU_PIN: module/guard.c: flat_guard_pinned(). Only then the program learns of the page. */
inline pin(i)
{
	atomic { !lock -> lock = true };
	pins++;
#ifndef PLANT_WRITE_STAYS_QUIET
	quiet = false;
#endif
	lock = false;
	page[i] = has_pin;
	told[i] = true
}

/* The program may start its function again, and knows that addresses from before are not valid any more. */
inline start()
{
	atomic {
		if
		:: !master ->
			told[0] = told[0] && page[0] == has_pin;
			told[1] = told[1] && page[1] == has_pin;
			told[2] = told[2] && page[2] == has_pin;
			master = true
		:: else
		fi
	}
}

/* module/quiet.c: flat_hold_quiet_pins() for one page: flat_holds_lock is held, guard->lock is not. */
inline end_if_quiet(i)
{
	atomic {
		if
#ifdef PLANT_WRITE_NO_PIN_IS_QUIET
		:: page[i] == is_held && !pins -> give_back(i)
#else
		:: page[i] == is_held && quiet -> give_back(i)
#endif
		:: else
		fi
	}
}

/* FLATIOMMU_UNPIN: module/unpin.c: end_pin_or_hold(). It is held first, so that the last pin, of any file, finds it. */
inline unpin(i)
{
#ifdef PLANT_WRITE_NOTHING_IS_HELD
	page[i] = ending;
#else
	page[i] = is_held;
#endif
	/* module/guard.c: flat_guard_unpinned() */
	atomic { !lock -> lock = true };
	pins--;
	last = !pins;
	if
	:: last ->
#ifdef PLANT_WRITE_QUIET_BEFORE_THE_STOP
		quiet = true;
		master = false;
#else
		master = false;
		quiet = true;
#endif
	:: else
	fi;
	lock = false;
#ifdef PLANT_WRITE_NOTHING_IS_HELD
	give_back(i);
#endif
	if
	:: last ->
		end_if_quiet(0);
		end_if_quiet(1);
		end_if_quiet(2)
	:: else
	fi
}

/* One that has pinned page 0. */
proctype first()
{
	bool last;

	unpin(0);
	calls--
}

/* One that pins one or two, and unpins them under DMA. */
proctype second()
{
	bool last;

	pin(1);
	if
	:: pin(2)
	:: true
	fi;
	start();
	do
	:: page[1] == has_pin -> unpin(1)
	:: page[2] == has_pin -> unpin(2)
	:: break
	od;
	calls--
}

/* FLATIOMMU_QUIET, when the function has finished what it was told to do. */
proctype third()
{
	byte i;

	atomic {
		for (i : 0 .. PAGES - 1) {
			if
			:: page[i] == is_held -> told[i] = false
			:: else
			fi
		}
	};
	atomic {
		for (i : 0 .. PAGES - 1) {
			if
			/* A page that was unpinned since: the program does not call it too early. */
			:: page[i] == is_held && !(master && told[i]) -> give_back(i)
			:: else
			fi
		}
	};
	calls--
}

init
{
	byte i;

	atomic {
		page[0] = has_pin;
		told[0] = true;
		pins = 1;
		calls = 3;
		run first();
		run second();
		run third()
	};
	/* module/unpin.c: flat_unpin_all(): first all functions are stopped, then all that is left is given back. */
	calls == 0;
	master = false;
	for (i : 0 .. PAGES - 1) {
		if
		:: page[i] == has_pin -> give_back(i)
#ifndef PLANT_PINS_CLOSE_LEAVES_WHAT_IS_HELD
		:: page[i] == is_held -> give_back(i)
#endif
		:: else
		fi
	};
	assert(page[0] == free && page[1] == free && (page[2] == free || page[2] == none) /* PINS */)
}
