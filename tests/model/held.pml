// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that a domain holds: a program has one function through VFIO, and a page pinned with FLATIOMMU_PIN_VFIO, or
 * about to be, which the function writes to. The program looks it up, unpins it, detaches the function, is killed in
 * a call and dies, and its files are closed in any order; somebody else may have the device's file, or look whether
 * the function can be reset. Names and PLANT_* as in claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * WRITE	The page is not given back to the kernel while the function may still write to it.
 *		module/pin.c: add_to_domain(), module/unpin.c: flat_let_pins_go(), module/unpin.c: flat_pin_let_go(),
 *		module/pin.c: give_up(), module/unpin.c: flat_unpin_all(), module/domain.c: flat_domain_free()
 * PINS		It is unpinned once, when neither the file nor the domain nor a look-up has it.
 *		module/pin.c: add_to_domain(), module/unpin.c: flat_let_pins_go(), module/unpin.c: flat_pin_let_go()
 *
 * Not here: that the function is stopped before its domain ends, as it is before page A goes in dma.pml, and how a pin
 * is found by its number, which is there, too.
 */
bool master = true;		/* bus mastering */
bool told;			/* the function is programmed with the page's address */

bool attached = true;		/* to the domain */
bool looking;			/* it is blocked for a look whether it can be reset */
bool paused, unmapped;		/* and may go on after it, unless something was let go since */
byte device_refs = 1, container_refs = 2;

bool pinned;
bool has_number;		/* the pin is in the file's xarray */
byte refs;			/* the file's, the domain's, look-ups' */
bool held;			/* it is in the domain's list */
bool ended;			/* the domain has */

byte calls;			/* of /dev/flatiommu that are under way */
byte running;			/* processes of this model */

/* module/pin.c: flat_pin_put() */
inline put()
{
	atomic {
		assert(refs /* PINS */);
		refs--;
		if
		:: !refs -> assert(pinned /* PINS */ && !(master && told) /* WRITE */); pinned = false
		:: else
		fi
	}
}

/* module/unpin.c: flat_pin_let_go(). The file's reference is there still. */
inline let_go()
{
	atomic {
		if
		:: held ->
			held = false;
#ifndef PLANT_WRITE_LET_GO_IS_NO_UNMAP
			unmapped = true;
#endif
			assert(refs > 1 /* PINS */);
			refs--
		:: else
		fi
	}
}

/* module/domain.c: flat_domain_free(), when nothing is attached any more: module/unpin.c: flat_let_pins_go() */
inline end_domain()
{
	atomic { ended = true; found = held;
#ifndef PLANT_PINS_END_LEAVES_IT_IN_THE_LIST
		held = false
#endif
	};
	if
	:: found -> put()
	:: else
	fi
}

/* The domain ends with the last one, if not before. */
inline put_container()
{
	atomic { container_refs--; last = !container_refs && attached };
	if
	:: last ->
		atomic { !looking -> attached = false };
		end_domain()
	:: else
	fi
}

/* The last one: VFIO stops and resets the function. */
inline put_device()
{
	atomic { device_refs--; last = !device_refs };
	if
	:: last ->
		atomic { master = false; told = false };
		put_container()
	:: else
	fi
}

/* Whoever has an address may program the function with it, while that is open. */
inline tell()
{
	atomic {
		if
		:: device_refs -> told = true
		:: true
		fi
	}
}

/* module/unpin.c: flat_unpin(), by a program that has told the function so, or sees it stopped. */
inline unpin()
{
	atomic { found = has_number; has_number = false };
	if
	:: found ->
		atomic {
			if
			:: told = false
			:: !master
			fi;
			let_go()
		};
		put()
	:: else
	fi
}

/* module/tell.c: flat_lookup_pin() */
inline look_up()
{
	atomic {
		found = has_number;
		if
		:: found -> refs++
		:: else
		fi
	};
	if
	:: found ->
		assert(pinned /* PINS */);
		put();
		/* The program unpins it only when it is done with that. */
		atomic {
			if
			:: has_number -> tell()
			:: else
			fi
		}
	:: else
	fi
}

/* module/pin.c: add_to_domain() */
inline hold()
{
	atomic {
#ifdef PLANT_PINS_ENDED_DOMAIN_HOLDS
		holds = true;
#else
		holds = !ended;
#endif
		if
		:: holds -> held = true; refs++
		:: else
		fi
	}
}

/* module/pin.c: write_segments(), or none were asked for */
inline write_segments()
{
	if
	:: known = true; tell()
	:: true
	fi
}

/* module/pin.c: flat_pin() and flat_end_pin() */
proctype caller()
{
	bool holds, known;

	atomic { pinned = true; refs = 1 };
#ifdef PLANT_WRITE_SEGMENTS_ARE_TOLD_BEFORE_IT_IS_HELD
	write_segments();
	if
	:: hold()
	:: true
	fi;
#else
	hold();
	if
	:: holds -> write_segments()
	:: else
	fi;
#endif
	if
	:: holds -> has_number = true
	/* It is killed, or cannot be told the number: module/pin.c: give_up() */
	:: true ->
		if
#ifndef PLANT_WRITE_FAILED_PIN_LETS_GO
		:: !known -> let_go()
		:: else
#else
		:: let_go()
#endif
		fi;
		put()
	fi;
	atomic { calls--; running-- }
}

proctype thread()
{
	bool found;

	if
	:: unpin()
	:: look_up()
	:: true
	fi;
	atomic { calls--; running-- }
}

/* Its first thread, and its end. */
proctype program()
{
	bool found, last, flat = true, device = true, container = true;

	if
	:: unpin()
	/* DETACH of iommufd, which module/ops.c: flat_blocked_attach() stops the function for */
	:: atomic { !looking -> master = false; attached = false };
		end_domain()
	:: true
	fi;
	do
	/* module/unpin.c: flat_unpin_all() */
	:: atomic { flat && !calls -> flat = false; found = has_number };
		if
		:: found ->
#ifdef PLANT_WRITE_CLOSE_LETS_HELD_GO
			let_go();
#endif
			put()
		:: else
		fi
	:: atomic { device -> device = false }; put_device()
	:: atomic { container -> container = false }; put_container()
	:: atomic { !flat && !device && !container -> running--; break }
	od
}

/* A child that has the device's file. */
proctype child()
{
	bool found, last;

	put_device();
	running--
}

/* A write to reset_method: module/attach.c: flat_pause() and module/attach.c: go_on() */
proctype looker()
{
	if
	:: atomic { attached -> looking = true; paused = master; master = false; unmapped = false };
		atomic {
			if
			:: paused && !unmapped -> master = true; assert(pinned || !told /* WRITE */)
			:: else
			fi;
			looking = false;
			running--
		}
	:: running--
	fi
}

init
{
	atomic {
		running = 3;
		calls = 1;
		if
		:: pinned = true; told = true; has_number = true; held = true; refs = 2
		:: calls++; running++; run caller()
		fi;
		if
		:: device_refs++; running++; run child()
		:: true
		fi;
		run thread();
		run program();
		run looker()
	};
	running == 0;
	assert(!pinned && !refs /* PINS */)
}
