// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory under DMA: a program has one function, on a vfio driver or on none, with page A mapped through
 * VFIO and page B pinned through /dev/flatiommu, or about to be, and the function writes to both. The program
 * puts it to sleep, detaches, unpins and dies, and its files are closed in any order; somebody else may hold the
 * device, reset it, look whether it can be reset, unbind its driver or remove it. Names and PLANT_* as in
 * claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * WRITE	No page is given back to the kernel while a function may still write to it.
 *		module/guard.c: flat_guard_close(), module/guard.c: flat_guard_unpinned(),
 *		module/guard.c: quiesce(), module/guard.c: flat_guard_end(), module/guard.c: is_there(),
 *		module/unpin.c: flat_unpin_all(), module/pin.c: write_segments(),
 *		module/ops.c: flat_blocked_attach(), module/claimed.c: flat_stop(), module/attach.c: flat_pause(),
 *		module/attach.c: go_on(), module/attach.c: flat_attach()
 * PINS		A page that was pinned is unpinned once, when nobody looks it up any more, by whoever was told
 *		of the pin.
 *		module/unpin.c: flat_unpin(), module/pin.c: flat_pin_put(), module/tell.c: get_pin(),
 *		module/pin.c: flat_end_pin()
 * DEADLOCK	Nobody waits for ever.
 *		module/guard.c: lock_for_a_while()
 *
 * Not here: kernel drivers, which the module leaves alone, and programs that unmap what the function still uses, that
 * have put it to sleep as they detach, stop it as somebody looks whether it can be reset, or tell it addresses while
 * it is being reset; see doc/safety.md. What a domain holds is in held.pml, and how one pin holds a huge page in
 * thp.pml.
 */
mtype = { NONE, VFIO };
mtype driver;

byte device_lock;
bool slow;			/* its owner may keep it for longer than lock_for_a_while() tries */
byte guards_lock, guard_lock;
bool guard;			/* in the list of guards */
bool guard_ended;		/* the function goes, or has left the bus */

/* The function. */
bool master;			/* bus mastering */
bool told_a, told_b;		/* it is programmed with the pages' addresses */
bool awake;			/* for runtime PM; with no driver it may be false while DMA goes on */
bool held;			/* pm_runtime_get_sync() by quiesce() */
bool registered = true;		/* device_is_registered() */
bool on_bus = true;		/* and nobody reaches it any more when it is not */
bool going;			/* module/claim.c: flat_function_is_going() */

/* The claim, with the domain that A is in. */
bool attached;
bool looking;			/* the function is blocked for a look whether it can be reset */
bool paused, unmapped;		/* and may go on after it, unless something was unmapped since */

byte device_refs, container_refs;
bool pinned_a, pinned_b;
bool has_number;		/* the pin of B is in the file's xarray */
bool knows;			/* and a program was told so */
byte pin_refs, guard_pins;
byte calls;			/* of /dev/flatiommu that are under way */
byte running;			/* processes of this model */

#define self		(_pid + 1)
#define take(l)		l == 0 -> l = self
#define drop(l)		assert(l == self); l = 0
#define unpin_a		assert(pinned_a /* PINS */ && !(master && told_a) /* WRITE */); pinned_a = false
#define unpin_b		assert(pinned_b /* PINS */ && !(master && told_b) /* WRITE */); pinned_b = false

/* module/busmaster.c: flat_clear_master() */
inline clear_master()
{
	if
	:: awake && on_bus -> master = false
	:: else
	fi
}

/* Bus mastering is on again. */
#define go_on		master = true; assert((pinned_a || !told_a) && (pinned_b || !told_b) /* WRITE */)

/* module/guard.c: quiesce(), with guard_lock */
inline quiesce()
{
	if
	:: guard_ended
	:: else ->
	if
	:: atomic { take(device_lock) }
#ifndef PLANT_DEADLOCK_QUIESCE_WAITS
	:: slow
#endif
	fi;
#ifdef PLANT_WRITE_QUIESCE_WAKES_WHAT_HAS_NO_DRIVER
	atomic { awake = awake || driver == NONE; held = true };
#elif !defined(PLANT_WRITE_QUIESCE_WAKES_NOTHING)
	atomic { awake = true; held = true };
#endif
	/* module/claimed.c: flat_stop() */
	atomic {
#ifndef PLANT_WRITE_STOP_IS_NOT_FOR_GOOD
		paused = false;
#endif
		clear_master();
		held = false;
		if
		:: device_lock == self -> drop(device_lock)
		:: else
		fi
	}
	fi
}

/*
 * device_del(), which has no driver any more: BUS_NOTIFY_DEL_DEVICE, where module/claim.c: flat_function_goes() and
 * module/guard.c: flat_guard_end() are called, and BUS_NOTIFY_REMOVED_DEVICE.
 */
inline remove_it()
{
	going = true;
	atomic { take(guards_lock); ends = guard; guard = false; drop(guards_lock) };
	if
	:: ends ->
		atomic { take(guard_lock) };
#ifndef PLANT_WRITE_REMOVAL_STOPS_NOTHING
		quiesce();
#endif
		atomic { guard_ended = true; drop(guard_lock) }
	:: else
	fi;
	/* The file that is written to for a look goes before. */
	atomic { !looking -> on_bus = false };
	going = false;
	registered = false
}

/*
 * vfio_iommu_type1 and iommufd detach and unpin when nobody has the container, a device included. The core lets
 * nobody attach while the function is blocked for a reset.
 */
inline put_container()
{
	container_refs--;
	if
	:: !container_refs && pinned_a ->
		!looking;
		clear_master();
		attached = false;
		unpin_a
	:: else
	fi
}

/* The last one: vfio_pci_core_disable() wakes, stops and resets the function. */
inline put_device()
{
	device_refs--;
	if
	:: !device_refs ->
		awake = true;
		master = false;
		told_a = false;
		told_b = false;
		put_container()
	:: else
	fi
}

/* module/pin.c: flat_pin_destroy(), of a pin that was counted */
inline destroy_pin()
{
	atomic { take(guard_lock); guard_pins-- };
#ifndef PLANT_WRITE_UNPIN_STOPS_NOTHING
	quiesce();
#endif
	atomic { drop(guard_lock); unpin_b }
}

/* module/pin.c: flat_pin_put() */
inline put_pin()
{
	atomic { assert(pin_refs /* PINS */); pin_refs--; last = !pin_refs };
	if
	:: last -> destroy_pin()
	:: else
	fi
}

/* Is there a pin for who names it? */
#ifdef PLANT_PINS_NUMBERS_CAN_BE_GUESSED
#define is_known	has_number
#else
#define is_known	(has_number && knows)
#endif

/* module/unpin.c: flat_unpin() */
inline unpin()
{
	atomic { found = is_known;
#ifdef PLANT_PINS_UNPIN_LOOKS_AND_TAKES
	};
	atomic {
#endif
		if
		:: found -> has_number = false
		:: else
		fi
	};
	if
	:: found -> put_pin()
	:: else
	fi
}

/* module/tell.c: flat_lookup_pin() */
inline look_up()
{
	atomic { found = is_known;
		if
#ifndef PLANT_PINS_LOOKUP_TAKES_NO_REFERENCE
		:: found -> pin_refs++
#endif
		:: else
		fi
	};
	if
	:: found ->
		assert(pinned_b /* PINS */);
#ifndef PLANT_PINS_LOOKUP_TAKES_NO_REFERENCE
		put_pin()
#endif
	:: else
	fi
}

/* module/guard.c: flat_guard_get(), with guards_lock: is_there() looks three times. */
inline look_for_it()
{
#ifdef PLANT_WRITE_PIN_MINDS_NO_REMOVAL
	there = registered && on_bus;
#elif defined(PLANT_WRITE_PIN_LOOKS_IN_ANOTHER_ORDER)
	there = on_bus;
	there = there && !going && registered;
#else
	there = registered;
	there = there && !going;
	there = there && on_bus;
#endif
}

/*
 * module/pin.c: flat_pin(), with segments. Once they are written, another thread of the program may tell them to
 * the function, whatever becomes of the call.
 */
inline pin()
{
	atomic { take(guards_lock) };
	look_for_it();
	atomic { guard = there; drop(guards_lock) };
	if
	:: there ->
		atomic { pinned_b = true; pin_refs = 1 };
#ifndef PLANT_WRITE_SEGMENTS_ARE_TOLD_BEFORE_IT_COUNTS
		atomic { take(guard_lock); guard_pins++; drop(guard_lock) };
#endif
		told_b = true;
		if
#ifndef PLANT_WRITE_SEGMENTS_ARE_TOLD_BEFORE_IT_COUNTS
		/* The array cannot be written to its end. */
		:: pin_refs = 0; destroy_pin()
#else
		:: atomic { pin_refs = 0; unpin_b }
#endif
		/* Nor the struct after it: module/pin.c: flat_end_pin() */
		:: has_number = true;
			atomic { has_number = false; pin_refs = 0 };
			destroy_pin()
		:: has_number = true; knows = true
		fi
	:: else
	fi
}

proctype caller()
{
	bool there;

	pin();
	atomic { calls--; running-- }
}

proctype thread()
{
	bool found, last;

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
	bool found, last, flat = true, device = (driver == VFIO), container = (driver == VFIO);

	if
	:: unpin()
	/* module/ops.c: flat_blocked_attach(), by DETACH of iommufd, and then IOAS_UNMAP */
	:: atomic { device && !looking ->
#ifndef PLANT_WRITE_DETACH_KEEPS_MASTER
			clear_master();
#endif
			attached = false
		};
		atomic { unmapped = true; unpin_a }
	/* It stops the function and unmaps, both while somebody looks. */
	:: atomic { device && looking -> master = false };
		if
		:: atomic { looking -> unmapped = true; unpin_a }
		:: true
		fi
	/* VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, and then it unpins or not */
	:: atomic { device && !held -> awake = false };
		if
		:: unpin()
		:: true
		fi
	:: true
	fi;
	do
	/* module/file.c: flat_release() */
	:: atomic { flat && !calls -> flat = false; found = has_number };
		if
		:: found ->
			/* module/unpin.c: flat_unpin_all(), module/guard.c: flat_guard_close() */
#ifndef PLANT_WRITE_CLOSE_STOPS_NOTHING
			atomic { take(guard_lock) };
			quiesce();
			atomic { drop(guard_lock) };
#endif
			atomic { take(guard_lock); guard_pins--; drop(guard_lock); unpin_b; pin_refs-- }
		:: else
		fi
	:: atomic { device -> device = false; put_device() }
	:: atomic { container -> container = false; put_container() }
	:: atomic { !flat && !device && !container -> running--; break }
	od
}

/* A child that has the device's file. */
proctype child()
{
	atomic { put_device(); running-- }
}

/* Writes to reset, or VFIO_DEVICE_RESET: pci_try_reset_function(). What was on before is on after it. */
proctype resetter()
{
	bool saved;

	atomic { take(device_lock); slow = true; saved = master; awake = true };
	atomic { master = false;
#ifndef PLANT_WRITE_RESET_FORGETS_NOTHING
		told_a = false; told_b = false
#endif
	};
	atomic {
		if
		:: saved -> go_on
		:: else
		fi;
		slow = false;
		drop(device_lock);
		running--
	}
}

/*
 * A write to reset_method, where a reset blocks: module/ops.c: flat_blocked_attach() with module/attach.c:
 * flat_pause(), and module/attach.c: flat_domain_attach() with go_on().
 */
proctype looker()
{
	bool was_on;

	if
	:: atomic { attached -> looking = true; was_on = master && awake; clear_master();
#ifdef PLANT_WRITE_PAUSE_IN_TWO_STEPS
		};
		atomic {
#endif
		paused = was_on; unmapped = false };
		atomic {
#ifndef PLANT_WRITE_LOOK_MINDS_NO_UNMAP
			paused = paused && !unmapped;
#endif
#ifdef PLANT_WRITE_LOOK_MINDS_UNMAPS_TOO_EARLY
		};
		atomic {
#endif
			if
			:: paused && awake -> go_on
			:: else
			fi;
			paused = false;
			looking = false;
			running--
		}
	:: running--
	fi
}

/* A write to unbind, or the function is removed: vfio_unregister_group_dev() waits for who has it open. */
proctype unbinder()
{
	bool ends;

	atomic { take(device_lock); slow = true };
	atomic { !device_refs; driver = NONE; slow = false; drop(device_lock) };
	if
	:: remove_it()
	:: true
	fi;
	running--
}

/* A function without a driver is removed. */
proctype remover()
{
	bool ends;

	remove_it();
	running--
}

init
{
	bool being_pinned;

	atomic {
		running = 2;
		if
		:: driver = VFIO;
			awake = true;
			attached = true;
			pinned_a = true;
			told_a = true;
			container_refs = 2;
			device_refs = 1;
			if
			:: device_refs++; running++; run child()
			:: true
			fi;
			if
			:: running++; run unbinder()
			:: running++; run looker()
			:: true
			fi
		:: driver = NONE
		:: driver = NONE; awake = true
		:: driver = NONE; running++; run remover()
		:: driver = NONE; awake = true; running++; run remover()
		fi;
		calls = 1;
		if
		:: pinned_b = true;
			told_b = true;
			has_number = true;
			knows = true;
			pin_refs = 1;
			guard = true;
			guard_pins = 1
		:: calls++; running++; being_pinned = true; run caller()
		fi;
		master = true;
		run thread();
		run program();
		if
		:: !being_pinned -> running++; run resetter()
		:: true
		fi
	};
	running == 0;
	assert(!pinned_a && !pinned_b && !guard_pins /* PINS */)
}
