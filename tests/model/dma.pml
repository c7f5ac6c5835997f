// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory under DMA: a program has one function, on a vfio driver or on none, with page A mapped through
 * VFIO and page B pinned through /dev/flatiommu, and the function writes to both. The program detaches,
 * unpins and dies, and its files are closed in any order; somebody else may hold the device, reset it,
 * unbind its driver or remove it. Names and PLANT_* as in claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * WRITE	No page is given back to the kernel while a function may still write to it.
 *		module/guard.c: flat_guard_close(), module/guard.c: flat_guard_unpinned(),
 *		module/guard.c: quiesce(), module/guard.c: flat_guard_end(), module/pin.c: flat_unpin_all(),
 *		module/ops.c: flat_blocked_attach()
 * PINS		A page that was pinned is unpinned once, when nobody looks it up any more.
 *		module/pin.c: flat_unpin(), module/pin.c: put_pin(), module/pin.c: get_pin()
 * DEADLOCK	Nobody waits for ever.
 *		module/guard.c: lock_for_a_while()
 *
 * Not here: kernel drivers, which the module leaves alone, and programs that unmap what the function
 * still uses; see doc/safety.md.
 */
mtype = { NONE, VFIO };
mtype driver;

byte device_lock;
bool slow;			/* its owner may keep it for longer than lock_for_a_while() tries */
byte guard_lock;
bool guard_ended;		/* the function has left the bus, where nobody reaches it any more */

/* The function. */
bool master;			/* bus mastering */
bool told_a, told_b;		/* it is programmed with the pages' addresses */
bool awake;			/* for runtime PM; with no driver it may be false while DMA goes on */

byte device_refs, container_refs;
bool pinned_a, pinned_b;
bool has_number;		/* the pin of B is in the file's xarray */
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
		put_container()
	:: else
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
	:: device ->
#ifndef PLANT_WRITE_DETACH_KEEPS_MASTER
		atomic { clear_master() };
#endif
		atomic { unpin_a }
	:: true
	fi;
	do
	/* module/file.c: flat_release() */
	:: atomic { flat -> flat = false; !calls; found = has_number };
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
			awake = true;
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
	assert(!pinned_a && !pinned_b && !guard_pins /* PINS */)
}
