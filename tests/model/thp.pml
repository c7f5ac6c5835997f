// SPDX-License-Identifier: GPL-2.0-only
/*
 * One pin for a transparent huge page, of two pages here: a program pins the first one, and module/thp.c says from
 * an entry of the page table whether that holds both. The kernel splits, migrates, collapses and shares the memory
 * meanwhile, and the program gives the second page back. What the kernel does is as in Linux 6.1 to 7.3: whoever
 * takes an entry away first invalidates it, and counts pins after that. Names and PLANT_* as in claims.pml.
 *
 * What must be, and what keeps it so:
 *
 * HOLDS	Where one pin is said to hold all of a huge page, each of its pages is where the device was told,
 *		as long as the program does not give it back, and the huge page stays in one piece.
 *		module/thp.c: flat_thp_is_pinned(), module/pages.c: pin_some(), module/pages.c: may_be_thp()
 *
 * Not here: memory that may only be read, and of files, of which each page is pinned.
 */
mtype = { NONE, HUGE, SMALL };	/* what maps the memory: nothing, one entry, or one a page */

#define H	1		/* the huge page */
#define OTHER	2		/* somewhere else */

mtype entry = HUGE;
bool writable = true;
byte first = H, second = H;	/* where the program's two pages are */
byte pins;			/* of H, or of its first page since it was split */
bool split, freed;		/* H */
byte ptl;			/* the lock of the page table */
byte forks;			/* mm->write_protect_seq */

bool whole;			/* one pin is said to hold both pages */
bool given_back;		/* since then, the second page, by the program */

#define self		(_pid + 1)
#define take(l)		l == 0 -> l = self
#define drop(l)		assert(l == self); l = 0
#define is_pinned	(pins != 0)

/* What pin_user_pages_fast() gets for the first page, with FOLL_WRITE. */
inline pin_first()
{
	/* gup_fast(): the entry, a reference, and the entry again */
	atomic { seen = entry; fork_seen = forks; got = entry != NONE && writable && first == H };
	atomic {
		got = got && !freed;
		if
		:: got -> pins++
		:: else
		fi
	};
#ifndef PLANT_HOLDS_GUP_DOES_NOT_LOOK_AGAIN
	atomic {
		if
		:: got && (entry != seen || !writable || first != H || forks != fork_seen || forks % 2) ->
			pins--;
			got = false
		:: else
		fi
	};
#endif
	/* With the lock, and what is not there is made; H is not, then. */
	atomic {
		if
		:: !got -> take(ptl);
			got = entry != NONE && writable && first == H && !freed;
			if
			:: got -> pins++
			:: else
			fi;
			drop(ptl)
		:: got
		fi
	}
}

/* module/pages.c: pin_some() */
active proctype program()
{
	mtype seen;
	byte fork_seen;
	bool got, may_be;

#ifdef PLANT_HOLDS_ENTRY_IS_READ_BEFORE_THE_PIN
	may_be = entry == HUGE && writable;
#endif
	pin_first();
	if
	:: got ->
		/* module/thp.c: flat_thp_is_pinned() */
#if defined(PLANT_HOLDS_ENTRY_IS_NOT_READ)
		whole = !split;
#elif defined(PLANT_HOLDS_ENTRY_IS_READ_BEFORE_THE_PIN)
		whole = may_be && !split;
#else
		may_be = !split;
		atomic { whole = may_be && entry == HUGE && writable && first == H };
#endif
		if
		/* flat_pages_unpin() */
		:: whole = false; pins--
		:: true
		fi
	:: else
	fi
}

/* Another thread of it: MADV_DONTNEED, and a fault. */
active proctype gives_back()
{
	if
	:: atomic { take(ptl);
			if
			:: entry != NONE -> entry = SMALL; given_back = whole; second = OTHER
			:: else
			fi;
			drop(ptl)
		}
	:: true
	fi
}

/* __split_huge_pmd(), and split_folio() or not */
inline split_it()
{
	atomic { take(ptl);
		if
		:: entry == HUGE -> entry = SMALL
		:: else
		fi;
		drop(ptl)
	};
	if
	:: atomic { entry == SMALL && first == H && second == H && !split -> take(ptl); entry = NONE; drop(ptl) };
		atomic { split = !is_pinned };
		entry = SMALL
	:: true
	fi
}

/* migrate_pages(), of the huge page, or of the second page once it is one of its own; nobody has pinned that. */
inline migrate()
{
	if
	:: atomic { entry == HUGE && first == H -> take(ptl); entry = NONE; drop(ptl) };
		atomic {
			if
			:: !is_pinned -> freed = true; first = OTHER; second = OTHER
			:: else
			fi
		};
		entry = HUGE
	:: atomic { split && entry == SMALL -> second = OTHER }
	:: else
	fi
}

/* collapse_huge_page(): into another one, which is a copy */
inline collapse()
{
	if
	:: atomic { entry == SMALL -> take(ptl); entry = NONE; drop(ptl) };
		atomic {
			if
			:: first == H && is_pinned -> entry = SMALL
			:: else -> first = OTHER; second = OTHER; freed = true; entry = HUGE
			fi
		}
	:: else
	fi
}

/* copy_huge_pmd() and copy_present_pte(): what is pinned is copied, the rest is shared, and nobody may write to it. */
inline share()
{
	atomic { take(ptl); forks++; pinned = first == H && is_pinned };
	atomic {
		if
		:: entry == HUGE && pinned -> entry = SMALL
		:: entry != NONE && !pinned -> writable = false
		:: else
		fi;
		forks++;
		drop(ptl)
	}
}

active proctype kernel()
{
	bool pinned;
	byte round;

	do
	:: round < 3 -> round++;
		if
		:: true -> split_it()
		:: true -> migrate()
		:: true -> collapse()
		:: true -> share()
		fi
	:: break
	od
}

/* At any time. What is write-protected is another page after the next write. */
active proctype witness()
{
end:	atomic {
		whole && (first != H || (second != H && !given_back) || split || freed || !writable) ->
		assert(!whole /* HOLDS */)
	}
}
