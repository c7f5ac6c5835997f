// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory under DMA: a program has one function, on a vfio driver or on none, with page A mapped through
 * VFIO, page B pinned through /dev/flatiommu, and page C pinned there for the domain to hold, and the
 * function writes to all. The program detaches, unpins and dies, and its files are closed in any order;
 * somebody else may hold the device, reset it, unbind its driver or remove it. Names and PLANT_* as in
 * claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * WRITE	No page is given back to the kernel while a function may still write to it.
 *		module/guard.c: flat_guard_close(), module/guard.c: flat_guard_unpinned(),
 *		module/guard.c: quiesce(), module/guard.c: flat_guard_end(), module/pin.c: flat_unpin_all(),
 *		module/ops.c: flat_blocked_attach(), module/pin.c: flat_let_pins_go(), module/pin.c: give_up()
 * PINS		A page that was pinned is unpinned once, when nobody looks it up any more.
 *		module/pin.c: flat_unpin(), module/pin.c: put_pin(), module/pin.c: get_pin(), module/pin.c: hold(),
 *		module/pin.c: let_go()
 * DEADLOCK	Nobody waits for ever.
 *		module/guard.c: lock_for_a_while()
 *
 * Not here: kernel drivers, which the module leaves alone, and programs that unmap what the function
 * still uses; see doc/safety.md.
 */
mtype = { NONE, VFIO };
mtype driver, driver_was;

byte device_lock;
bool slow;			/* its owner may keep it for longer than lock_for_a_while() tries */
byte guard_lock;
bool guard_ended;		/* the function has left the bus, where nobody reaches it any more */

/* The function. */
bool master;			/* bus mastering */
bool told_a, told_b, told_c;	/* it is programmed with the pages' addresses */
bool awake;			/* for runtime PM; with no driver it may be false while DMA goes on */

byte device_refs, container_refs;
bool pinned_a, pinned_b;
bool has_number;		/* the pin of B is in the file's xarray */
byte pin_refs, guard_pins;

/* Page C. */
bool pinned_c, has_number_c;
byte refs_c;			/* the file's, the domain's, look-ups' */
bool held;			/* it is in the domain's list */
bool ended;			/* the domain has */
bool detached;			/* the program has done so */

byte calls;			/* of /dev/flatiommu that are under way */
byte running;			/* processes of this model */

#define self		(_pid + 1)
#define take(l)		l == 0 -> l = self
#define drop(l)		assert(l == self); l = 0
#define unpin_a		assert(pinned_a /* PINS */ && !(master && told_a) /* WRITE */); pinned_a = false
#define unpin_b		assert(pinned_b /* PINS */ && !(master && told_b) /* WRITE */); pinned_b = false
#define unpin_c		assert(pinned_c /* PINS */ && !(master && told_c) /* WRITE */); pinned_c = false

/* module/busmaster.c: flat_clear_master() */
inline clear_master()
{
	if
	:: awake -> master = false
	:: else
	fi
}

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
	atomic {
#ifndef PLANT_WRITE_QUIESCE_WAKES_NOTHING
		if
		:: driver == NONE && device_lock == self -> awake = true
		:: else
		fi;
#endif
		clear_master();
		if
		:: device_lock == self -> drop(device_lock)
		:: else
		fi
	}
	fi
}

/* BUS_NOTIFY_DEL_DEVICE, which has no driver any more: module/guard.c: flat_guard_end() */
inline remove_it()
{
	atomic { take(guard_lock) };
#ifndef PLANT_WRITE_REMOVAL_STOPS_NOTHING
	quiesce();
#endif
	atomic { guard_ended = true; drop(guard_lock) }
}

/* vfio_iommu_type1 and iommufd unpin when nobody has the container, a device included. */
inline put_container()
{
	container_refs--;
	if
	:: !container_refs && pinned_a -> unpin_a
	:: else
	fi
}

/* The last one: vfio_pci_core_disable() stops and resets the function. */
inline put_device()
{
	device_refs--;
	if
	:: !device_refs ->
		master = false;
		told_a = false;
		told_b = false;
		told_c = false;
		put_container()
	:: else
	fi
}

/* module/pin.c: put_pin(), of one that the domain holds */
inline put_c()
{
	atomic {
		assert(refs_c /* PINS */);
		refs_c--;
		if
		:: !refs_c -> unpin_c
		:: else
		fi
	}
}

/* module/pin.c: flat_let_pins_go() */
inline end_domain()
{
	atomic { ended = true; found = held; held = false };
	if
	:: found -> put_c()
	:: else
	fi
}

/* The core frees the domain when the function is not attached to it any more. */
inline end_domain_if_last()
{
	if
	:: !container_refs && !ended && driver_was == VFIO -> end_domain()
	:: else
	fi
}

/* module/pin.c: let_go(). The file's reference is there still. */
inline let_go()
{
	atomic {
		if
#ifdef PLANT_PINS_LET_GO_TWICE
		:: true -> refs_c--
#else
		:: held -> refs_c--
		:: else
#endif
		fi;
		held = false
	}
}

/* module/pin.c: flat_unpin(), of memory that the function does not use any more */
inline unpin_unused()
{
	atomic {
		last = has_number_c;
		has_number_c = false;
		if
		:: last -> told_c = false
		:: else
		fi
	};
	if
	:: last -> let_go(); put_c()
	:: else
	fi
}

inline look_up_c()
{
	atomic { found = has_number_c;
		if
		:: found -> refs_c++
		:: else
		fi
	};
	if
	:: found -> assert(pinned_c /* PINS */); put_c()
	:: else
	fi
}

/*
 * module/pin.c: flat_pin(). Whoever sees the segments may program the function while it is open, but neither while it
 * is reset nor once the program has begun to detach it.
 */
inline pin_c()
{
	pinned_c = true;
	refs_c = 1;
	atomic {
		if
#ifndef PLANT_PINS_ENDED_DOMAIN_HOLDS
		:: ended -> found = false
		:: !ended ->
#else
		:: true ->
#endif
			held = true; refs_c++; found = true
		fi
	};
	if
	:: found ->
		atomic {
			if
			:: device_refs && !detached && !slow -> told_c = true
			:: else
			fi
		};
		if
		:: has_number_c = true
		/* module/pin.c: give_up(), of a program that is killed */
		::
#ifdef PLANT_WRITE_FAILED_PIN_LETS_GO
			let_go();
#endif
			put_c()
		fi
	:: else -> put_c()
	fi
}

/* module/pin.c: put_pin() */
inline put_pin()
{
	atomic { assert(pin_refs /* PINS */); pin_refs--; last = !pin_refs };
	if
	:: last ->
		atomic { take(guard_lock); guard_pins-- };
#ifndef PLANT_WRITE_UNPIN_STOPS_NOTHING
		quiesce();
#endif
		atomic { drop(guard_lock); unpin_b }
	:: else
	fi
}

/* module/pin.c: flat_unpin() */
inline unpin()
{
	atomic { found = has_number;
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

/* module/pin.c: flat_lookup_pin() */
inline look_up()
{
	atomic { found = has_number;
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

proctype thread()
{
	bool found, last;

	if
	:: unpin()
	:: look_up()
	:: unpin_unused()
	:: look_up_c()
	:: driver_was == VFIO && !refs_c && !ended -> pin_c()
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
	:: unpin_unused()
	/* module/ops.c: flat_blocked_attach(), by DETACH of iommufd, and then IOAS_UNMAP */
	:: device ->
		atomic { detached = true;
#ifndef PLANT_WRITE_DETACH_KEEPS_MASTER
			clear_master()
#endif
		};
		atomic { unpin_a };
		end_domain()
	:: true
	fi;
	do
	/* module/file.c: flat_release() */
	:: atomic { flat -> flat = false; !calls; found = has_number_c };
		if
		:: found ->
#ifdef PLANT_WRITE_CLOSE_LETS_HELD_GO
			let_go();
#endif
			put_c()
		:: else
		fi;
		found = has_number;
		if
		:: found ->
			/* module/pin.c: flat_unpin_all(), module/guard.c: flat_guard_close() */
#ifndef PLANT_WRITE_CLOSE_STOPS_NOTHING
			atomic { take(guard_lock) };
			quiesce();
			atomic { drop(guard_lock) };
#endif
			atomic { take(guard_lock); guard_pins--; drop(guard_lock); unpin_b; pin_refs-- }
		:: else
		fi
	:: atomic { device -> device = false; put_device() };
		end_domain_if_last()
	:: atomic { container -> container = false; put_container() };
		end_domain_if_last()
	:: atomic { !flat && !device && !container -> running--; break }
	od
}

/* A child that has the device's file. */
proctype child()
{
	bool found;

	atomic { put_device() };
	end_domain_if_last();
	running--
}

/* Writes to reset, or VFIO_DEVICE_RESET: pci_try_reset_function(). What was on before is on after it. */
proctype resetter()
{
	bool saved;

	atomic { take(device_lock); slow = true; saved = master; awake = true };
	atomic { master = false;
#ifndef PLANT_WRITE_RESET_FORGETS_NOTHING
		told_a = false; told_b = false; told_c = false
#endif
	};
	atomic { master = saved; slow = false; drop(device_lock); running-- }
}

/* A write to unbind, or the function is removed: vfio_unregister_group_dev() waits for who has it open. */
proctype unbinder()
{
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
	remove_it();
	running--
}

init
{
	atomic {
		running = 2;
		if
		:: driver = VFIO;
			driver_was = VFIO;
			awake = true;
			pinned_a = true;
			told_a = true;
			if
			:: pinned_c = true;
				told_c = true;
				has_number_c = true;
				held = true;
				refs_c = 2
			:: true
			fi;
			container_refs = 2;
			device_refs = 1;
			if
			:: device_refs++; running++; run child()
			:: true
			fi;
			if
			:: running++; run unbinder()
			:: true
			fi
		:: driver = NONE
		:: driver = NONE; awake = true
		:: driver = NONE; running++; run remover()
		:: driver = NONE; awake = true; running++; run remover()
		fi;
		pinned_b = true;
		told_b = true;
		has_number = true;
		pin_refs = 1;
		guard_pins = 1;
		master = true;
		calls = 1;
		run thread();
		run program();
		if
		:: running++; run resetter()
		:: true
		fi
	};
	running == 0;
	assert(!pinned_a && !pinned_b && !pinned_c && !guard_pins /* PINS */)
}
