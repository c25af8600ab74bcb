"""The 20 coarse classes of CIFAR-100, as the set's own list has them."""

_TABLE = """
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor
"""
COARSE = {name: fine.split() for name, fine in (line.split(": ") for line in _TABLE.split("\n") if line)}


def coarse_of(classes: list[str]) -> list[int]:
    """The index of each class's coarse class.

    Raises:
        ValueError: with one sentence, where the classes are not the set's 100.
    """
    found = {fine: index for index, names in enumerate(COARSE.values()) for fine in names}
    if set(classes) != set(found):
        odd = sorted(set(classes) ^ set(found))[0]
        raise ValueError(
            f"data: got {len(classes)} classes for cifar100 ({odd!r} is lacking or unknown), expected the "
            "100 of the set; complete its folder, or pass the folder itself to use it as it is."
        )
    return [found[name] for name in classes]
