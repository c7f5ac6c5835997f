// SPDX-License-Identifier: MIT
#include "place.h"

#include <stdbool.h>
#include <stddef.h>

/* Two different places are never equal: their own addresses decide. */
static bool is_before(const struct place *a, const struct place *b)
{
	return a->start != b->start ? a->start < b->start : (uintptr_t)a < (uintptr_t)b;
}

static void update(struct place *place)
{
	place->last_end = place->end;
	if (place->left && place->left->last_end > place->last_end)
		place->last_end = place->left->last_end;
	if (place->right && place->right->last_end > place->last_end)
		place->last_end = place->right->last_end;
}

/* Splits a tree into the places before @at and the others. */
static void split(struct place *root, const struct place *at, struct place **before,
		  struct place **behind)
{
	if (!root) {
		*before = NULL;
		*behind = NULL;
		return;
	}
	if (is_before(root, at)) {
		split(root->right, at, &root->right, behind);
		*before = root;
	} else {
		split(root->left, at, before, &root->left);
		*behind = root;
	}
	update(root);
}

static struct place *join(struct place *before, struct place *behind)
{
	if (!before)
		return behind;
	if (!behind)
		return before;
	if (before->priority > behind->priority) {
		before->right = join(before->right, behind);
		update(before);
		return before;
	}
	behind->left = join(before, behind->left);
	update(behind);
	return behind;
}

static struct place *insert(struct place *root, struct place *place)
{
	if (!root || place->priority > root->priority) {
		split(root, place, &place->left, &place->right);
		root = place;
	} else if (is_before(place, root)) {
		root->left = insert(root->left, place);
	} else {
		root->right = insert(root->right, place);
	}
	update(root);
	return root;
}

static struct place *take_out(struct place *root, struct place *place)
{
	if (root == place)
		return join(root->left, root->right);
	if (is_before(place, root))
		root->left = take_out(root->left, place);
	else
		root->right = take_out(root->right, place);
	update(root);
	return root;
}

void place_insert(struct place **root, struct place *place)
{
	/* A hash of its address is random enough. */
	uint64_t hash = (uintptr_t)place * 0x9e3779b97f4a7c15u;

	place->priority = (uint32_t)(hash >> 32) ^ (uint32_t)(hash >> 12);
	*root = insert(*root, place);
}

void place_remove(struct place **root, struct place *place)
{
	*root = take_out(*root, place);
}

struct place *place_find(struct place *root, uintptr_t at)
{
	while (root && (at < root->start || at >= root->end)) {
		/*
		 * The place that ends last in the left subtree ends after @at. If it does not
		 * contain @at, it begins after it, and so do all places to the right.
		 */
		if (root->left && root->left->last_end > at)
			root = root->left;
		else
			root = root->right;
	}
	return root;
}
