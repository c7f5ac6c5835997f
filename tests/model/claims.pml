// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims and the module: one function, which is claimed, released, bound, opened and unplugged, while
 * the module is asked to go. What each line stands for is named as FILE: FUNCTION() of this repository,
 * or as what Linux 6.1 does. An atomic step is one that nothing else can see the middle of.
 *
 * What must be, and what keeps it so:
 *
 * CALL		Nothing runs in a module that is gone.
 *		module/main.c: flat_exit(), module/claim.c: flat_claim_exit(),
 *		module/domain.c: flat_domain_alloc(), module/domain.c: free_domain()
 * ONCE		A claim ends exactly once, and the core has let go of the function by then.
 *		module/claim.c: flat_claim_function(), module/claim.c: flat_release_function(),
 *		module/claim.c: flat_function_goes(), module/claim.c: flat_function_gone()
 * DRIVER	No claim is released under a driver.
 *		module/routes.c: with_function(), module/claim.c: flat_release_function()
 * DEADLOCK	Nobody waits for ever, which spin calls an invalid end state; also for device_lock(),
 *		which lockdep does not see.
 *		module/routes.c: with_function(), module/claim.c: reap_retired(),
 *		module/routes.c: on_bus_event(), module/ops.c: flat_probe_device()
 *
 * Each PLANT_ takes a part of that away; then spin must find the error that it is named for.
 */
mtype = { LIVE, GOING, GONE, NONE, VFIO };

mtype module = LIVE;
byte refs;			/* module_refcount() */
byte inside;			/* tasks that run the module's code */

/* Locks: 0 or the owner. Outermost first. */
byte device_lock, claims_lock, core_lock;
byte chain;			/* who runs the bus notifiers; who changes the list waits for them */

/* The function, as the driver core has it. */
bool registered = true;		/* device_is_registered() */
bool dead;			/* kill_device(): no driver may bind any more */
bool on_bus = true;		/* in the bus's klist, where the IOMMU core finds it */
mtype driver = NONE;

/* The IOMMU core. */
bool ops = true;		/* it can find flat_iommu_ops */
bool probed;			/* the function is under our IOMMU */
bool group;			/* its group is there */
byte group_users;		/* writers of a file of the group */

/* The module. */
bool files = true;		/* /sys/class/misc/flatiommu */
byte writers;			/* of them */
bool notified = true;		/* bus_nb is registered */
bool claimed;			/* in the list of claims */
bool going;			/* in the list of those that are being removed */
bool reap, free;		/* work that is queued */
bool working;			/* work that runs */

/* A program. */
bool device_open, domain;

/* For the assertions alone. */
bool claim_lives;
byte running = 7;		/* processes of this model that have yet to end */

#define self		(_pid + 1)
#define take(l)		l == 0 -> l = self
#define drop(l)		assert(l == self); l = 0
#define enter		assert(module != GONE /* CALL */); inside++
#define leave		inside--
#define wq_is_idle	(!reap && !free && !working)

/* iommu_group_put(), the last one: its directory goes, which waits for who writes to a file of it. */
#define put_group	group_users == 0; group = false

/* module/claim.c: retire(), with claims_lock */
inline retire()
{
	assert(claim_lives && !probed /* ONCE */);
	claim_lives = false;
#ifdef PLANT_DEADLOCK_GROUP_PUT_UNDER_LOCK
	put_group
#else
	reap = true
#endif
}

/* iommu_release_device(); module/ops.c: flat_release_device() */
inline core_release()
{
	core_lock == 0;
	if
	:: probed -> assert(module != GONE /* CALL */); probed = false; refs--
	:: else
	fi
}

/*
 * module/claim.c: flat_claim_function(). The core's walk over the bus finds the function before it takes a
 * lock, and probes it with module/ops.c: flat_probe_device() if it gets a reference to the module.
 */
inline claim_function(binding)
{
	atomic { take(claims_lock) };
	atomic {
		found = on_bus && !claimed && registered && !group && (driver == NONE || binding);
#ifndef PLANT_ONCE_CLAIMS_WHAT_IS_GOING
		found = found && !going
#endif
	};
	atomic {
		core_lock == 0;
		if
		:: found && !probed && module == LIVE ->
			assert(!claim_lives /* ONCE */);
			refs++;
			probed = true;
			group = true;
			claimed = true;
			claim_lives = true
		:: else
		fi;
		drop(claims_lock)
	}
}

/* module/claim.c: flat_release_function() */
inline release_function()
{
	atomic {
		take(claims_lock);
		found = claimed && driver == NONE;
#ifndef PLANT_ONCE_RELEASES_WHAT_IS_GOING
		found = found && !going
#endif
	};
	atomic {
		if
		:: found ->
			assert(driver == NONE /* DRIVER */);
			claimed = false;
			if
			:: on_bus -> core_release()
			:: else
			fi;
			retire()
		:: else
		fi;
		drop(claims_lock)
	}
}

/* module/routes.c: with_function(). A write holds the file, not the module. */
active proctype writer_of_claim()
{
	bool found;

	if
	:: atomic { files -> writers++; enter };
		atomic { take(device_lock) };
		claim_function(false);
		atomic { drop(device_lock) };
		atomic { wq_is_idle; leave; writers--; running-- }
	:: running--
	fi
}

active proctype writer_of_release()
{
	bool found;

	if
	:: atomic { files -> writers++; enter };
#ifdef PLANT_DRIVER_RELEASE_WITHOUT_DEVICE_LOCK
		release_function();
#elif defined(PLANT_DEADLOCK_DEVICE_LOCK_UNDER_CLAIMS_LOCK)
		atomic { take(claims_lock) };
		atomic { take(device_lock) };
		atomic { drop(claims_lock); drop(device_lock) };
#else
		atomic { take(device_lock) };
		release_function();
		atomic { drop(device_lock) };
#endif
		atomic { wq_is_idle; leave; writers--; running-- }
	:: running--
	fi
}

/* Binds a vfio driver, and unbinds it. */
active proctype binder()
{
	bool found;
	byte round;

	do
	:: round < 2 ->
		atomic { take(device_lock); round++ };
		if
		:: atomic { !dead && driver == NONE -> driver = VFIO; chain++ };
			/* module/routes.c: function_binds() */
			if
			:: atomic { notified -> enter };
				claim_function(true);
				leave
			:: else
			fi;
			atomic {
				chain--;
				/* vfio_pci_probe() */
				if
				:: probed
				:: else -> driver = NONE
				fi;
				drop(device_lock)
			}
		/* vfio_unregister_group_dev() */
		:: atomic { driver == VFIO && !device_open -> driver = NONE; drop(device_lock) }
		:: atomic { dead && driver == NONE -> drop(device_lock) }
		fi
	:: atomic { true -> running--; break }
	od
}

/* On iommufd, which may keep the domain when the device is closed and released. */
active proctype program()
{
	if
	:: atomic { driver == VFIO && probed -> device_open = true };
		/* module/domain.c: flat_domain_alloc() */
		atomic {
			enter;
#ifdef PLANT_CALL_DOMAIN_WITHOUT_MODULE
			domain = true;
#else
			/* try_module_get() succeeds while the function is claimed. */
			assert(module == LIVE);
			refs++;
			domain = true;
#endif
			leave
		};
		/* module/ops.c: flat_blocked_attach(), as the device is closed */
		atomic { enter; leave; device_open = false };
		/* module/domain.c: flat_unmap_pages() */
		atomic { enter; leave };
		/* module/domain.c: flat_domain_put(): queueing is the last that it does. */
		atomic { enter; domain = false; free = true;
#ifdef PLANT_CALL_PREEMPTED_AFTER_PUT
		};
		atomic {
#endif
			leave; running-- }
	:: running--
	fi
}

/* The workqueue, which is ordered. */
active proctype worker()
{
end:	do
	/* module/claim.c: reap_retired() */
	:: atomic { reap -> reap = false; working = true; enter };
		atomic { put_group; leave; working = false }
	/* module/domain.c: free_domain() */
	:: atomic { free -> free = false; working = true; enter };
		atomic {
#ifndef PLANT_CALL_DOMAIN_WITHOUT_MODULE
			refs--;
#endif
			leave; working = false }
	od
}

/* pci_stop_and_remove_bus_device() */
active proctype unplug()
{
	if
	:: atomic { take(device_lock) };
		atomic { !device_open; driver = NONE; dead = true; drop(device_lock); chain++ };
		/* module/claim.c: flat_function_goes() */
		if
		:: atomic { notified -> enter };
			atomic { take(claims_lock) };
			atomic { going = true; drop(claims_lock); leave }
		:: else
		fi;
		atomic { chain--; on_bus = false };
		/* The core's callback comes first. */
		atomic { chain++; core_release() };
		/* module/claim.c: flat_function_gone() */
		if
		:: atomic { notified -> enter };
#ifdef PLANT_DEADLOCK_DEVICE_LOCK_IN_CALLBACK
			atomic { take(device_lock) };
			atomic { drop(device_lock) };
#endif
			atomic { take(claims_lock) };
			atomic {
				going = false;
				if
				:: claimed -> claimed = false; retire()
				:: else
				fi;
				drop(claims_lock);
				leave
			}
		:: else
		fi;
		atomic { chain--; registered = false; running-- }
	:: running--
	fi
}

/* delete_module() */
active proctype unload()
{
	if
	:: atomic { refs == 0 -> module = GOING };
		/* module/main.c: flat_exit(), misc_deregister() */
		atomic { files = false;
#ifndef PLANT_CALL_EXIT_LEAVES_WRITERS
			writers == 0
#endif
		};
		/* module/claim.c: flat_claim_exit() */
		atomic { chain == 0; notified = false };
#ifndef PLANT_CALL_EXIT_LEAVES_WORK
		wq_is_idle;
#endif
		atomic { claims_lock == 0; ops = false };
#ifndef PLANT_CALL_EXIT_LEAVES_CALLBACKS
		chain == 0;
#endif
		atomic {
			assert(!inside && wq_is_idle /* CALL */);
			assert(!claimed);
			module = GONE;
			running--
		}
	:: running--
	fi
}

/* One of these comes along. */
active proctype bystander()
{
	bool found;

	if
	/* Another function comes, and the core asks whether it is ours, if it gets the module. */
	:: chain++;
		atomic { take(core_lock); found = ops };
		atomic {
			if
			:: found ->
				assert(module != GONE /* CALL */);
				found = module == LIVE
			:: else
			fi
		};
#ifdef PLANT_DEADLOCK_PROBE_TAKES_CLAIMS_LOCK
		if
		:: found -> atomic { take(claims_lock); drop(claims_lock) }
		:: else
		fi;
#endif
		atomic { drop(core_lock); chain--; running-- }
	/* vfio_pci_vf_init() registers a notifier with device_lock() of the VF's PF. */
	:: atomic { take(device_lock) };
		atomic { chain == 0; drop(device_lock); running-- }
	/* A write to iommu_groups/N/type, up to 6.4. */
	:: atomic { group -> group_users++ };
		atomic { take(device_lock); drop(device_lock); group_users--; running-- }
	:: running--
	fi
}

/* When all is over. */
active proctype last()
{
	running == 0 && wq_is_idle;
	assert(claimed == claim_lives && claimed == probed /* ONCE */);
	assert(registered || !claimed /* ONCE */);
	assert(refs == claimed)
}
